"""The pages: server-rendered, live by server-sent events, nothing from outside."""
