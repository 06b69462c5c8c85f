//! One bounded look at a connector's metrics server.
