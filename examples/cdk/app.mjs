// The replica in a CDK app.
//
// 1. Upload the functions, in the folder of a release (docs/deploy.md):
//     aws cloudformation package --template-file template-arm64.yaml --s3-bucket <bucket> --output-template-file packaged.yaml
// 2. Deploy, in an account with `npx cdk bootstrap`:
//     npm install && TEMPLATE=<that folder>/packaged.yaml ALARM_EMAIL=<your address> npx cdk deploy
import { App, CfnOutput, Stack } from 'aws-cdk-lib';
import { CfnInclude } from 'aws-cdk-lib/cloudformation-include';

const app = new App();
const stack = new Stack(app, 'byos-stigg');
const replica = new CfnInclude(stack, 'Replica', {
  templateFile: process.env.TEMPLATE ?? 'packaged.yaml',
  preserveLogicalIds: true,
  parameters: { AlarmEmail: process.env.ALARM_EMAIL ?? '' },
});
// The template's outputs are the stack's outputs. This one makes a value available to other stacks of the app.
new CfnOutput(stack, 'CheckAccessUrlOfReplica', { value: replica.getOutput('CheckAccessUrl').value });
app.synth();
