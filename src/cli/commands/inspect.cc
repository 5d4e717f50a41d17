#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/one_line.h"
#include "cli/command.h"
#include "cli/common.h"
#include "gguf/gguf.h"
#include "model/model_spec.h"
#include "quant/rung.h"
#include "render/text_table.h"

namespace assay {
namespace {

constexpr uint64_t kShownElements = 6;  // of a metadata array
constexpr size_t kShownColumns = 100;   // of a metadata value

constexpr size_t kShownEnds = 8;  // tokens that end a text

struct Options {
  std::string model;
  CommonOptions common;
};

struct TypeTotal {
  uint64_t tensors = 0, bytes = 0;
};

// Layers that have the same tensors, shapes and types.
struct LayerGroup {
  std::vector<uint64_t> layers;
  uint64_t tensors = 0, parameters = 0, bytes = 0;  // of one layer
  std::string names;
};

struct Summary {
  uint64_t parameters = 0, tensor_bytes = 0;
  std::map<std::string, TypeTotal> types;
  std::set<std::string_view> not_computable;  // types
  std::vector<LayerGroup> layers;
  double bits_per_weight() const {
    return parameters == 0 ? 0.0 : static_cast<double>(tensor_bytes) * 8.0 / static_cast<double>(parameters);
  }
};

// "blk.12.attn_q.weight": layer 12, rest "attn_q.weight"; false for a tensor of no layer.
bool SplitLayerName(std::string_view name, uint64_t& layer, std::string_view& rest) {
  constexpr std::string_view kPrefix = "blk.";
  if (!name.starts_with(kPrefix)) return false;
  const char* end = name.data() + name.size();
  const auto [after, error] = std::from_chars(name.data() + kPrefix.size(), end, layer);
  if (error != std::errc() || after == end || *after != '.') return false;
  rest = name.substr(static_cast<size_t>(after + 1 - name.data()));
  return true;
}

std::vector<LayerGroup> GroupLayers(const GgufFile& file) {
  struct Layer {
    std::string signature, names;
    uint64_t tensors = 0, parameters = 0, bytes = 0;
  };
  std::map<uint64_t, Layer> layers;
  for (const GgufTensor& tensor : file.tensors()) {
    uint64_t number = 0;
    std::string_view rest;
    if (!SplitLayerName(tensor.name, number, rest)) continue;
    Layer& layer = layers[number];
    layer.signature += fmt::format("{} {} {};", rest, fmt::join(tensor.shape, "x"), TraitsOf(tensor.format).name);
    layer.names += fmt::format("{}{}", layer.names.empty() ? "" : " ", rest.substr(0, rest.rfind(".weight")));
    ++layer.tensors;
    layer.parameters += tensor.elements();
    layer.bytes += tensor.data.size();
  }
  std::vector<LayerGroup> groups;
  std::map<std::string, size_t> group_of;
  for (const auto& [number, layer] : layers) {
    const auto [entry, fresh] = group_of.try_emplace(layer.signature, groups.size());
    if (fresh) groups.push_back({{}, layer.tensors, layer.parameters, layer.bytes, layer.names});
    groups[entry->second].layers.push_back(number);
  }
  return groups;
}

Summary Summarise(const GgufFile& file) {
  Summary summary;
  for (const GgufTensor& tensor : file.tensors()) {
    summary.parameters += tensor.elements();
    summary.tensor_bytes += tensor.data.size();
    const FormatTraits& traits = TraitsOf(tensor.format);
    if (traits.decode == nullptr) summary.not_computable.insert(traits.name);
    TypeTotal& total = summary.types[std::string(traits.name)];
    ++total.tensors;
    total.bytes += tensor.data.size();
  }
  summary.layers = GroupLayers(file);
  return summary;
}

template <typename T>
T ElementAt(const GgufArray& array, uint64_t index) {
  T value;
  std::memcpy(&value, array.packed.data() + index * sizeof(T), sizeof(T));
  return value;
}

// The shortest decimal number that is this float: 1e-06, where its double would be 9.999999974752427e-07.
Json FloatJson(float value) {
  double shortest = value;
  if (std::isfinite(value)) {
    std::array<char, 32> digits{};
    const char* end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    std::from_chars(digits.data(), end, shortest);
  }
  return shortest;
}

Json ElementJson(const GgufArray& array, uint64_t i);

Json ArrayJson(const GgufArray& array) {
  Json first = Json::array();
  for (uint64_t i = 0; i < std::min(array.count, kShownElements); ++i) first.push_back(ElementJson(array, i));
  return {{"count", array.count}, {"first", std::move(first)}};
}

Json ElementJson(const GgufArray& array, uint64_t i) {
  switch (array.element) {
    case GgufType::kUint8:
      return ElementAt<uint8_t>(array, i);
    case GgufType::kInt8:
      return ElementAt<int8_t>(array, i);
    case GgufType::kUint16:
      return ElementAt<uint16_t>(array, i);
    case GgufType::kInt16:
      return ElementAt<int16_t>(array, i);
    case GgufType::kUint32:
      return ElementAt<uint32_t>(array, i);
    case GgufType::kInt32:
      return ElementAt<int32_t>(array, i);
    case GgufType::kUint64:
      return ElementAt<uint64_t>(array, i);
    case GgufType::kInt64:
      return ElementAt<int64_t>(array, i);
    case GgufType::kFloat32:
      return FloatJson(ElementAt<float>(array, i));
    case GgufType::kFloat64:
      return ElementAt<double>(array, i);
    case GgufType::kBool:
      return ElementAt<uint8_t>(array, i) != 0;
    case GgufType::kString:
      return array.strings[i];
    case GgufType::kArray:
      return ArrayJson(*std::get<std::shared_ptr<const GgufArray>>(array.values[i].value));
  }
  return nullptr;
}

Json ValueJson(const GgufValue& value) {
  if (value.type == GgufType::kBool) return std::get<uint64_t>(value.value) != 0;
  return std::visit(
      [](const auto& v) -> Json {
        if constexpr (std::is_same_v<std::decay_t<decltype(v)>, std::shared_ptr<const GgufArray>>) {
          return ArrayJson(*v);
        } else if constexpr (std::is_same_v<std::decay_t<decltype(v)>, float>) {
          return FloatJson(v);
        } else {
          return v;
        }
      },
      value.value);
}

std::string DumpJson(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string ValueText(const GgufValue& value) {
  if (const auto* text = std::get_if<std::string>(&value.value)) return Abbreviate(OneLine(*text), kShownColumns);
  if (const auto* array = std::get_if<std::shared_ptr<const GgufArray>>(&value.value)) {
    std::string list = DumpJson(ArrayJson(**array)["first"]);
    if ((*array)->count > kShownElements) list.insert(list.size() - 1, ",...");
    return fmt::format("{} ({} in all)", Abbreviate(list, kShownColumns), (*array)->count);
  }
  return DumpJson(ValueJson(value));
}

// " (Q4_K_M)" for the number of a rung that Assay knows, else nothing.
std::string FileTypeName(const GgufValue& value) {
  const auto* number = std::get_if<uint64_t>(&value.value);
  for (const RungTraits& rung : Rungs()) {
    if (number != nullptr && rung.file_type == *number) return fmt::format(" ({})", rung.name);
  }
  return "";
}

// "0-2, 4-6, 8"
std::string RangesText(const std::vector<uint64_t>& numbers) {
  std::string out;
  for (size_t i = 0; i < numbers.size();) {
    size_t end = i;
    while (end + 1 < numbers.size() && numbers[end + 1] == numbers[end] + 1) ++end;
    out += fmt::format("{}{}", out.empty() ? "" : ", ", numbers[i]);
    if (end > i) out += fmt::format("-{}", numbers[end]);
    i = end + 1;
  }
  return out;
}

// Keys that are not UTF-8 keep their bytes as "\\xFF", so that two of them do not become one.
std::string KeyText(const std::string& key) {
  if (IsUtf8(key)) return key;
  std::string text;
  for (const char c : key) {
    const auto byte = static_cast<unsigned char>(c);
    text += byte < 0x80 ? std::string(1, c) : fmt::format("\\x{:02X}", byte);
  }
  return text;
}

// How a run begins and ends texts, which the metadata alone does not tell.
struct Texts {
  std::unique_ptr<Tokenizer> tokenizer;  // null: there is none, or it cannot be used
  std::string problem;                   // why it cannot
  bool says_bos = false;                 // the file does; else it is the habit of its family
};

Texts ReadTexts(const GgufFile& file) {
  Texts texts;
  if (file.Find("tokenizer.ggml.tokens") == nullptr) return texts;
  try {
    texts.tokenizer = BuildTokenizer(file);
    texts.says_bos = file.FindBool("tokenizer.ggml.add_bos_token").has_value();
  } catch (const Error& error) {
    texts.problem = error.what();
  }
  return texts;
}

Json TextsJson(const Texts& texts) {
  if (texts.tokenizer == nullptr) return nullptr;
  const std::optional<Token> first = texts.tokenizer->vocab().first_token();
  return {{"begin_with", first ? Json(*first) : Json()},
          {"said_by", texts.says_bos ? "file" : "family"},
          {"end_at", texts.tokenizer->end_tokens()}};
}

std::string TextsText(const Texts& texts) {
  if (texts.tokenizer == nullptr)
    return texts.problem.empty() ? "" : "\nTexts\n  none: " + OneLine(texts.problem) + "\n";
  const auto name = [&](Token token) {
    return fmt::format("{} {}", token, Abbreviate(OneLine(texts.tokenizer->TokenBytes(token, true)), kShownColumns));
  };
  const std::optional<Token> first = texts.tokenizer->vocab().first_token();
  const std::span<const Token> ends = texts.tokenizer->end_tokens();
  std::vector<std::string> shown;
  for (const Token token : ends.first(std::min(ends.size(), kShownEnds))) shown.push_back(name(token));
  if (ends.size() > kShownEnds) shown.emplace_back("...");
  return fmt::format("\nTexts\n  begin with  {} ({})\n  end at      {}\n", first ? name(*first) : "no BOS",
                     texts.says_bos ? "as the file says" : "the habit of its family: the file does not say",
                     shown.empty() ? "no token" : fmt::format("{}", fmt::join(shown, ", ")));
}

void PrintAsJson(const GgufFile& file, const Summary& summary, const Texts& texts) {
  Json metadata = Json::object();
  // Appended, since setting would search the object for each key; the keys of a file are unique.
  auto& entries = metadata.get_ref<Json::object_t&>();
  for (const auto& [key, value] : file.metadata()) entries.emplace_back(KeyText(key), ValueJson(value));
  Json layers = Json::array();
  for (const LayerGroup& group : summary.layers) {
    layers.push_back({{"layers", group.layers},
                      {"tensors", group.tensors},
                      {"parameters", group.parameters},
                      {"bytes", group.bytes}});
  }
  Json types = Json::object(), type_tensors = Json::object();
  for (const auto& [name, total] : summary.types) {
    types[name] = total.bytes;
    type_tensors[name] = total.tensors;
  }
  Json tensors = Json::array();
  for (const GgufTensor& tensor : file.tensors()) {
    tensors.push_back({{"name", tensor.name},
                       {"type", TraitsOf(tensor.format).name},
                       {"shape", tensor.shape},
                       {"bytes", tensor.data.size()}});
  }
  PrintJson({{"path", file.path().string()},
             {"version", file.version()},
             {"architecture", file.FindString("general.architecture").value_or("")},
             {"parameters", summary.parameters},
             {"bytes", file.file_bytes()},
             {"bits_per_weight", summary.bits_per_weight()},
             {"metadata", std::move(metadata)},
             {"texts", TextsJson(texts)},
             {"layers", std::move(layers)},
             {"types", std::move(types)},
             {"type_tensors", std::move(type_tensors)},
             {"not_computable", summary.not_computable},
             {"tensors", std::move(tensors)}});
}

void PrintAsText(const GgufFile& file, const Summary& summary, const Texts& texts) {
  PrintText(fmt::format("{}: GGUF v{}, {}, {} parameters, {}, {:.2f} bits per weight\n", OneLine(file.path().string()),
                        file.version(),
                        OneLine(file.FindString("general.architecture").value_or("of no stated architecture")),
                        HumanCount(summary.parameters), HumanBytes(file.file_bytes()), summary.bits_per_weight()));
  TextTable metadata({{"key"}, {"value"}});
  for (const auto& [key, value] : file.metadata()) {
    metadata.AddRow({key, ValueText(value) + (key == "general.file_type" ? FileTypeName(value) : "")});
  }
  PrintText("\nMetadata\n" + metadata.ToString() + TextsText(texts));
  TextTable layers({{"layers"}, {"tensors", true}, {"parameters", true}, {"bytes", true}, {"each has"}});
  for (const LayerGroup& group : summary.layers) {
    layers.AddRow({RangesText(group.layers), std::to_string(group.tensors), HumanCount(group.parameters),
                   HumanBytes(group.bytes), group.names});
  }
  PrintText("\nLayers (figures of one layer)\n" + layers.ToString());
  TextTable types({{"type"}, {"tensors", true}, {"bytes", true}, {"", true}});
  for (const auto& [name, total] : summary.types) {
    types.AddRow({name, std::to_string(total.tensors), std::to_string(total.bytes), HumanBytes(total.bytes)});
  }
  PrintText("\nBytes by type\n" + types.ToString());
  TextTable tensors({{"tensor"}, {"type"}, {"shape", true}, {"bytes", true}});
  for (const GgufTensor& tensor : file.tensors()) {
    tensors.AddRow({tensor.name, std::string(TraitsOf(tensor.format).name),
                    fmt::format("{}", fmt::join(tensor.shape, " x ")), std::to_string(tensor.data.size())});
  }
  PrintText("\nTensors\n" + tensors.ToString());
}

}  // namespace

CommandAction AddInspect(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("MODEL", options->model, "a GGUF file; of a split model the first part")->required();
  AddCommonOptions(app, options->common, kJson);
  return [options] {
    const GgufFile file = GgufFile::Open(options->model, TensorTypes::kStored);
    const Summary summary = Summarise(file);
    if (!summary.not_computable.empty()) {
      spdlog::warn("{}: Assay cannot compute with {}: this can be looked at only", OneLine(options->model),
                   fmt::join(summary.not_computable, ", "));
    }
    const Texts texts = ReadTexts(file);
    if (options->common.json) {
      PrintAsJson(file, summary, texts);
    } else {
      PrintAsText(file, summary, texts);
    }
    return 0;
  };
}

}  // namespace assay
