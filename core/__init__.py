"""Pure decisions of the deployment: no pulumi, no boto3, no input or output."""
