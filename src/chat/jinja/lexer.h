#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace assay::jinja {

enum class TokenKind : uint8_t {
  kData,           // text between the tags
  kVariableBegin,  // {{
  kVariableEnd,
  kBlockBegin,  // {%
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;  // of a string: what its escapes stand for
  int line = 1;
  int64_t integer = 0;
  double real = 0;
};

// Cuts a template as Jinja2 does with trim_blocks and lstrip_blocks: comments are dropped, white space around tags
// goes by the tags' signs. The last token is kEnd. Throws TemplateError with its line.
std::vector<Token> Tokenize(std::string_view source);

}  // namespace assay::jinja
