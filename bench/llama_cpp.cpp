// llama.cpp's own reader of completions and its reader of grammars, as a filter for bench/parsing.py --llama-cpp:
// one JSON object a line, one answer a line.
//
//   {"template": "…", "bos": "", "eos": "", "tools": […], "completions": ["…"]}  →  {"prompt": "…", "messages": [{…}]}
//   {"grammar": "root ::= …", "texts": ["…"]}                                    →  {"accepts": [true]}
//
// Build it with bench/llama_cpp.sh from the sources that the sdist of llama-cpp-python 0.3.36 vendors. It needs the chat
// parsers of common/ and src/llama-grammar.cpp, no model, and nothing of ggml.

#include "chat.h"
#include "src/llama-grammar.h"
#include "log.h"
#include "nlohmann/json.hpp"
#include "src/unicode.h"

#include <iostream>
#include <string>
#include <vector>

using json = nlohmann::ordered_json;

static json read_completions(const json & request) {
    auto templates = common_chat_templates_init(nullptr, request.at("template"), request.value("bos", ""), request.value("eos", ""));
    common_chat_templates_inputs inputs;
    common_chat_msg question;
    question.role = "user";
    question.content = request.at("question");
    inputs.messages = {question};
    if (request.contains("tools")) {
        inputs.tools = common_chat_tools_parse_oaicompat(common_json::parse(request.at("tools").dump()));
    }
    inputs.parallel_tool_calls = true;
    inputs.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
    const auto params = common_chat_templates_apply(templates.get(), inputs);
    common_chat_parser_params syntax(params);
    syntax.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
    if (!params.parser.empty()) {
        syntax.parser.load(params.parser);
    }
    json messages = json::array();
    for (const auto & text : request.at("completions")) {
        try {
            const auto message = common_chat_parse(text, false, syntax);
            json calls = json::array();
            for (const auto & call : message.tool_calls) {
                calls.push_back({{"name", call.name}, {"arguments", call.arguments}});
            }
            messages.push_back({{"content", message.content}, {"reasoning", message.reasoning_content}, {"calls", calls}});
        } catch (const std::exception & error) {
            messages.push_back({{"error", error.what()}});
        }
    }
    return {{"prompt", params.prompt}, {"messages", messages}};
}

static bool accepts(llama_grammar & grammar, const std::string & text) {
    for (const auto point : unicode_cpts_from_utf8(text)) {
        llama_grammar_accept(&grammar, point);
        if (llama_grammar_get_stacks(&grammar).empty()) {
            return false;
        }
    }
    for (const auto & stack : llama_grammar_get_stacks(&grammar)) {
        if (stack.empty()) {
            return true;
        }
    }
    return false;
}

static json check_texts(const json & request) {
    const std::string source = request.at("grammar");
    json found = json::array();
    for (const auto & text : request.at("texts")) {
        llama_grammar * grammar = llama_grammar_init_impl(nullptr, source.c_str(), "root", false, nullptr, 0, nullptr, 0);
        if (grammar == nullptr) {
            return {{"error", "llama.cpp does not read this grammar"}};
        }
        found.push_back(accepts(*grammar, text));
        llama_grammar_free_impl(grammar);
    }
    return {{"accepts", found}};
}

int main() {
    common_log_set_verbosity_thold(-1);
    for (std::string line; std::getline(std::cin, line);) {
        json answer;
        try {
            const auto request = json::parse(line);
            answer = request.contains("grammar") ? check_texts(request) : read_completions(request);
        } catch (const std::exception & error) {
            answer = {{"error", error.what()}};
        }
        std::cout << answer.dump(-1, ' ', false, json::error_handler_t::replace) << std::endl;
    }
}
