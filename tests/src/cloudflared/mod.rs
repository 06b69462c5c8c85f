//! Stands in for the cloudflared program.
