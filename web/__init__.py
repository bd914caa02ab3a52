"""The HTTP edge that both planes share: settings, server, middleware, operations, problems, authentication."""
