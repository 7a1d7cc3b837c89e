//! Every statement of both services, prepared on each engine.
