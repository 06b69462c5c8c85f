//! Stands in for Cloudflare's edge.
