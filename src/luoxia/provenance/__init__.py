"""The single writer: every generated file leaves through here, with its parameters inside."""
