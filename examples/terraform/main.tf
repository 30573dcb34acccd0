# The replica as one resource. First upload the functions and the template, in the folder of a release, or of `scripts/release` (docs/deploy.md):
#     aws cloudformation package --template-file template-arm64.yaml --s3-bucket <bucket> --output-template-file packaged.yaml
#     aws s3 cp packaged.yaml s3://<bucket>/entitlement-replica/<version>/packaged.yaml
#
# Terraform compares only the template's URL, so each version needs a URL of its own.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "template_url" {
  description = "https://<bucket>.s3.<region>.amazonaws.com/entitlement-replica/<version>/packaged.yaml. The template exceeds template_body's limit of 51,200 bytes"
  type        = string
}

variable "alarm_email" {
  description = "E-mail address that receives the alarms"
  type        = string
}

resource "aws_cloudformation_stack" "replica" {
  name         = "byos-stigg"
  template_url = var.template_url
  # SAM's transform requires CAPABILITY_AUTO_EXPAND. The roles have no explicit names, so CAPABILITY_NAMED_IAM is not needed.
  capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]

  # `terraform plan` does not show that an update replaces a table, so CloudFormation has to refuse it.
  policy_body = file("${path.module}/../stack-policy.json")

  parameters = {
    AlarmEmail = var.alarm_email
  }
}

output "replica" {
  value = aws_cloudformation_stack.replica.outputs
}
