#include <fmt/format.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/one_line.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/measuring.h"
#include "gguf/gguf.h"
#include "model/model_spec.h"
#include "render/text_table.h"
#include "text/prompt.h"

namespace assay {
namespace {

struct Options {
  std::string model, text, file;
  bool no_bos = false, no_special = false;
  CommonOptions common;
};

// Whether the tokens decode to the text. What an unknown token stood for is lost, and so is the difference between a
// space and SentencePiece's mark for it.
bool ComesBack(const Tokenizer& tokenizer, const EncodedPrompt& prompt, bool special, std::string_view text) {
  const std::span<const Token> tokens = std::span(prompt.tokens).subspan(prompt.bos_added ? 1 : 0);
  return tokenizer.Decode(tokens, special) == text;
}

// As a string of JSON, which shows white space, too.
std::string Shown(const std::string& piece) {
  return OneLine(Json(piece).dump(-1, ' ', false, Json::error_handler_t::replace));
}

int Run(const Options& options) {
  if (options.text.empty() && options.file.empty()) {
    Fail(ErrorKind::kUsage, "tokenize needs a text: -p TEXT or -f FILE");
  }
  const std::unique_ptr<Tokenizer> tokenizer = BuildTokenizer(GgufFile::Open(options.model));
  const std::string text = options.file.empty() ? options.text : std::string(TextFile(options.file).text());
  if (!options.file.empty()) WarnOfText(text, options.file);
  const bool special = !options.no_special;
  const EncodedPrompt prompt = EncodePrompt(*tokenizer, text, special, !options.no_bos);
  WarnOfBos(prompt);
  std::vector<std::string> pieces;
  for (const Token token : prompt.tokens) pieces.push_back(tokenizer->TokenBytes(token, /*special=*/true));
  const bool comes_back = ComesBack(*tokenizer, prompt, special, text);
  if (options.common.json) {
    PrintJson({{"ids", prompt.tokens},
               {"pieces", pieces},
               {"count", prompt.tokens.size()},
               {"bos_added", prompt.bos_added},
               {"round_trip", comes_back}});
    return 0;
  }
  TextTable table({{"id", /*right=*/true}, {"piece"}});
  for (size_t i = 0; i < pieces.size(); ++i) table.AddRow({fmt::to_string(prompt.tokens[i]), Shown(pieces[i])});
  PrintText(table.ToString());
  PrintText(fmt::format("\n{} tokens of {} bytes{}; {}\n", pieces.size(), text.size(),
                        prompt.bos_added ? ", the first is BOS" : "",
                        comes_back ? "decoded, they are the text" : "decoded, they are another text"));
  return 0;
}

}  // namespace

CommandAction AddTokenize(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  app.add_option("model", options->model, "model file, or one that holds a vocabulary alone")
      ->required()
      ->type_name("MODEL");
  CLI::Option* text = app.add_option("-p,--prompt", options->text, "the text")->type_name("TEXT");
  app.add_option("-f,--file", options->file, "read the text from a file")->type_name("FILE")->excludes(text);
  app.add_flag("--no-bos", options->no_bos, "no BOS in front, whatever the vocabulary says");
  app.add_flag("--no-special", options->no_special, "names of control tokens in the text are text like any other");
  AddCommonOptions(app, options->common, kJson);
  return [options] { return Run(*options); };
}

}  // namespace assay
