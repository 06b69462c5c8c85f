//! A checked pair of config and credentials, installed as one generation or not at all.
