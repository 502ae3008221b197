"""Claude as the deciding agent: prompts, tools, cost limits, memory, and the fallback to the rules."""
