# The replica as one resource. The template has to name functions that are uploaded already: first
#     aws cloudformation package --template-file template-arm64.yaml --s3-bucket <bucket> --output-template-file packaged.yaml
#     aws s3 cp packaged.yaml s3://<bucket>/entitlement-replica/packaged.yaml
# in the folder of a release (docs/deploy.md).

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
  description = "https:// address of packaged.yaml in S3; the template is larger than the 51,200 bytes that template_body takes"
  type        = string
}

variable "alarm_email" {
  description = "Receives the alarms"
  type        = string
}

resource "aws_cloudformation_stack" "replica" {
  name         = "byos-stigg"
  template_url = var.template_url
  # SAM's transform needs CAPABILITY_AUTO_EXPAND; the roles have no names of their own.
  capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]

  parameters = {
    AlarmEmail = var.alarm_email
  }
}

output "webhook_url" {
  value = aws_cloudformation_stack.replica.outputs["WebhookUrl"]
}

output "check_access_url" {
  value = aws_cloudformation_stack.replica.outputs["CheckAccessUrl"]
}
