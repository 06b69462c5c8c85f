//! Everything the agent does to the outside: systemd, CloudWatch, Auto Scaling, status and state files.
