"""Claude as the deciding agent: prompts, tools, cost limits, memory, and the causes for which the rules decide."""
