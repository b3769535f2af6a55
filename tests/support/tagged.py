"""A template with generation tags, and one whose stop token is outside of them."""

GOOD = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.role == 'assistant' %}
        {%- generation %}
            {{- message.content + '<|im_end|>' }}
        {%- endgeneration %}
    {%- else %}
        {{- message.content + '<|im_end|>' }}
    {%- endif %}
    {{- '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
BAD = GOOD.replace("+ '<|im_end|>' }}\n        {%- endgen", "}}\n        {%- endgen").replace(
    "endgeneration %}\n", "endgeneration %}\n        {{- '<|im_end|>' }}\n"
)
