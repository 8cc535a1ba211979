"""The sweep's directory: who may write, what it holds, what is damaged, and what is left to do."""
