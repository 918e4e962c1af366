//! Edge: Microsoft Graph.
