#include <fmt/format.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/one_line.h"
#include "chat/conversation.h"
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
  std::string model, text, file, messages, template_file;
  bool as_text = false;
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

// The text to tokenize: a conversation's is what the template makes of it.
std::string InputText(const Options& options, const GgufFile& model, const Tokenizer& tokenizer) {
  if (!options.messages.empty()) {
    const Conversation conversation = ParseConversation(TextFile(options.messages).text(), options.messages);
    return ChatText(model, tokenizer.vocab(), conversation, options.template_file);
  }
  if (options.file.empty()) return options.text;
  std::string text(TextFile(options.file).text());
  WarnOfText(text, options.file);
  return text;
}

int Run(const Options& options) {
  if (options.text.empty() && options.file.empty() && options.messages.empty()) {
    Fail(ErrorKind::kUsage, "tokenize needs a text: -p TEXT, -f FILE or --messages FILE");
  }
  const GgufFile model = GgufFile::Open(options.model);
  const std::unique_ptr<Tokenizer> tokenizer = BuildTokenizer(model);
  const std::string text = InputText(options, model, *tokenizer);
  if (options.as_text && !options.common.json) {
    PrintText(text);
    return 0;
  }
  const bool special = !options.no_special;
  const bool with_bos = !options.no_bos && options.messages.empty();  // a template writes it itself
  const EncodedPrompt prompt = EncodePrompt(*tokenizer, text, special, with_bos);
  WarnOfBos(prompt);
  std::vector<std::string> pieces;
  for (const Token token : prompt.tokens) pieces.push_back(tokenizer->TokenBytes(token, /*special=*/true));
  const bool comes_back = ComesBack(*tokenizer, prompt, special, text);
  if (options.common.json) {
    PrintJson({{"text", text},
               {"ids", prompt.tokens},
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
  CLI::Option* file = app.add_option("-f,--file", options->file, "read the text from a file");
  file->type_name("FILE")->excludes(text);
  CLI::Option* messages = app.add_option("--messages", options->messages,
                                         "a conversation (JSON): the text is what the chat template makes of it");
  messages->type_name("FILE")->excludes(text)->excludes(file);
  app.add_option("--template", options->template_file, "a chat template (Jinja) instead of the model's own")
      ->needs(messages)
      ->type_name("FILE");
  app.add_flag("--text", options->as_text, "show the conversation's text, not its tokens")->needs(messages);
  app.add_flag("--no-bos", options->no_bos, "no BOS in front, whatever the vocabulary says");
  app.add_flag("--no-special", options->no_special, "names of control tokens in the text are text like any other");
  AddCommonOptions(app, options->common, kJson);
  return [options] { return Run(*options); };
}

}  // namespace assay
