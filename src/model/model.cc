#include "base/log.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "model/arch/table.h"
#include "model/model_spec.h"

namespace assay {
namespace {

std::optional<Token> FindToken(const GgufFile& file, std::string_view key) {
  const std::optional<uint64_t> id = file.FindUint(key);
  if (!id) return std::nullopt;
  // An id beyond any vocabulary becomes one that Tokenizer::Make() refuses by name.
  return static_cast<Token>(std::min<uint64_t>(*id, INT32_MAX));
}

// Files that hold something else than a model, in the same format.
void RequireModel(const GgufFile& file) {
  struct Other {
    std::string_view key, value, what;
  };
  constexpr std::array kOthers = {
      Other{"general.type", "adapter", "a LoRA adapter; merge it into its model (llama.cpp's llama-export-lora) first"},
      Other{"general.type", "imatrix", "an importance matrix; give it to assay quantize with --imatrix"},
      Other{"general.type", "mmproj", "the projector of a vision model; name the file of its language model"},
      Other{"general.architecture", "clip", "the projector of a vision model; name the file of its language model"},
      Other{"general.architecture", "controlvector", "a control vector; name the file of a model"},
  };
  for (const Other& other : kOthers) {
    if (file.FindString(other.key).value_or("") != other.value) continue;
    Fail(ErrorKind::kUnsupported, "{}: not a model but {}", file.path().string(), other.what);
  }
}

}  // namespace

std::vector<std::string_view> KnownArchitectures() {
  std::vector<std::string_view> names;
  for (const ArchitectureRow& row : Architectures()) names.push_back(row.name);
  return names;
}

ModelSpec BuildSpec(const GgufFile& file) {
  RequireModel(file);
  const std::string& name = file.GetString("general.architecture");
  for (const ArchitectureRow& row : Architectures()) {
    if (row.name == name) return row.build(file);
  }
  Fail(ErrorKind::kUnsupported, "{}: architecture '{}' is not known; known are {}", file.path().string(), name,
       fmt::join(KnownArchitectures(), ", "));
}

std::unique_ptr<Tokenizer> BuildTokenizer(const GgufFile& file) {
  VocabData vocab;
  vocab.model = file.GetString("tokenizer.ggml.model");
  vocab.pre = file.FindString("tokenizer.ggml.pre").value_or("");
  if (vocab.model == "gpt2" && vocab.pre.empty()) {
    spdlog::warn(
        "{}: tokenizer.ggml.pre is missing: texts are cut by the rules 'default', perhaps not as in the model's "
        "training; convert the model again",
        file.path().string());
  }
  const std::span<const std::string> tokens = file.FindStrings("tokenizer.ggml.tokens");
  vocab.tokens.assign(tokens.begin(), tokens.end());
  vocab.scores = file.FindFloats("tokenizer.ggml.scores");
  vocab.token_types = file.FindInts("tokenizer.ggml.token_type");
  // A text is searched for these at each byte: a long one that almost fits everywhere would take for ever.
  constexpr size_t kLongestSpecial = 512;
  for (size_t i = 0; i < std::min(vocab.tokens.size(), vocab.token_types.size()); ++i) {
    const bool special = vocab.token_types[i] == static_cast<int>(TokenType::kControl) ||
                         vocab.token_types[i] == static_cast<int>(TokenType::kUserDefined);
    if (special && vocab.tokens[i].size() > kLongestSpecial) {
      Fail(ErrorKind::kUnsupported, "{}: token {} is taken out of texts whole and has {} bytes, at most {} work; {}",
           file.path().string(), i, vocab.tokens[i].size(), kLongestSpecial, kGetAgain);
    }
  }
  const std::span<const std::string> merges = file.FindStrings("tokenizer.ggml.merges");
  if ((vocab.model == "gpt2" || vocab.model == "gemma4") && merges.empty()) {
    Fail(ErrorKind::kBadFile,
         "{}: tokenizer.ggml.merges is missing: every text would be split into bytes; convert the model again",
         file.path().string());
  }
  vocab.merges.assign(merges.begin(), merges.end());
  vocab.bos = FindToken(file, "tokenizer.ggml.bos_token_id");
  vocab.eos = FindToken(file, "tokenizer.ggml.eos_token_id");
  vocab.eot = FindToken(file, "tokenizer.ggml.eot_token_id");
  vocab.eom = FindToken(file, "tokenizer.ggml.eom_token_id");
  vocab.fim_pad = FindToken(file, "tokenizer.ggml.fim_pad_token_id");
  vocab.fim_repository = FindToken(file, "tokenizer.ggml.fim_rep_token_id");
  vocab.fim_separator = FindToken(file, "tokenizer.ggml.fim_sep_token_id");
  vocab.unknown = FindToken(file, "tokenizer.ggml.unknown_token_id");
  vocab.padding = FindToken(file, "tokenizer.ggml.padding_token_id");
  vocab.add_bos = file.FindBool("tokenizer.ggml.add_bos_token").value_or(AddsBosByDefault(vocab.model, vocab.pre));
  vocab.add_eos = file.FindBool("tokenizer.ggml.add_eos_token").value_or(false);
  vocab.add_space_prefix = file.FindBool("tokenizer.ggml.add_space_prefix").value_or(true);
  return Tokenizer::Make(std::move(vocab), file.path().string());
}

std::unique_ptr<Model> Model::Open(const std::filesystem::path& path) {
  auto model = std::make_unique<Model>(Model{GgufFile::Open(path), {}, nullptr});
  model->spec = BuildSpec(model->file);
  model->tokenizer = BuildTokenizer(model->file);
  if (model->tokenizer->size() != model->spec.vocab) {
    Fail(ErrorKind::kBadFile, "{}: {} tokens in the vocabulary but {} rows in token_embd.weight; {}", path.string(),
         model->tokenizer->size(), model->spec.vocab, kGetAgain);
  }
  return model;
}

}  // namespace assay
