//! Stands in for Secrets Manager, CloudWatch and Auto Scaling.
