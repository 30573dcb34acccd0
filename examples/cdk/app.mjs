// The replica in a CDK app: `npm install`, then `npx cdk deploy`.
//
// The template has to name functions that are uploaded already: first
//     aws cloudformation package --template-file template-arm64.yaml --s3-bucket <bucket> --output-template-file packaged.yaml
// in the folder of a release (docs/deploy.md), and TEMPLATE=<that folder>/packaged.yaml here.
import { App, CfnOutput, Stack } from 'aws-cdk-lib';
import { CfnInclude } from 'aws-cdk-lib/cloudformation-include';

const app = new App();
const stack = new Stack(app, 'EntitlementReplica');
const replica = new CfnInclude(stack, 'Replica', {
  templateFile: process.env.TEMPLATE ?? 'packaged.yaml',
  preserveLogicalIds: true,
  parameters: { AlarmEmail: 'ops@example.com' },
});
// Outputs of the template are the stack's; this one is for other stacks of the app.
new CfnOutput(stack, 'CheckAccessUrlOfReplica', { value: replica.getOutput('CheckAccessUrl').value });
app.synth();
