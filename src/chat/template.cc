#include "chat/template.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/one_line.h"
#include "chat/jinja/interpreter.h"
#include "chat/jinja/parser.h"

namespace assay {
namespace {

using Json = nlohmann::ordered_json;

jinja::Value FromText(jinja::Budget& budget, const std::string& text) {
  if (!IsUtf8(text)) throw jinja::TemplateUnsupported("a text of the conversation is not UTF-8");
  return jinja::MakeText(budget, text);
}

jinja::Value FromJson(jinja::Budget& budget, const Json& json, int depth) {
  if (depth > jinja::Limits::kNesting) {
    throw jinja::TemplateUnsupported("lists or objects lie in each other too deep");
  }
  switch (json.type()) {
    case Json::value_t::boolean:
      return jinja::Value(json.get<bool>());
    case Json::value_t::number_integer:
      return jinja::Value(json.get<int64_t>());
    case Json::value_t::number_unsigned:
      if (json.get<uint64_t>() > INT64_MAX) throw jinja::TemplateUnsupported("an integer beyond 64 bits");
      return jinja::Value(json.get<int64_t>());
    case Json::value_t::number_float:
      return jinja::Value(json.get<double>());
    case Json::value_t::string:
      return FromText(budget, json.get_ref<const std::string&>());
    case Json::value_t::array: {
      std::vector<jinja::Value> items;
      for (const Json& item : json) items.push_back(FromJson(budget, item, depth + 1));
      return jinja::MakeSequence(budget, std::move(items));
    }
    case Json::value_t::object: {
      jinja::DictBuilder dict(budget);
      for (const auto& [key, value] : json.items()) {
        dict.Set(FromText(budget, key), FromJson(budget, value, depth + 1));
      }
      return dict.Finish();
    }
    default:
      return {};
  }
}

std::tm LocalTime() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  return local;
}

}  // namespace

ChatTemplate::ChatTemplate(std::string_view source, std::string name) : name_(std::move(name)) {
  try {
    program_ = std::make_unique<const jinja::Program>(jinja::Parse(source));
  } catch (const jinja::TemplateError& error) {
    Fail(ErrorKind::kBadFile, "{}: chat template, line {}: {}", name_, error.line(), OneLine(error.what()));
  }
}

ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;

std::string ChatTemplate::Render(const Json& variables, const RenderOptions& options) const {
  try {
    jinja::Interpreter run(*program_, options.limits, options.now ? *options.now : LocalTime());
    std::vector<std::pair<std::string, jinja::Value>> values;
    for (const auto& [name, value] : variables.items()) values.emplace_back(name, FromJson(run.budget(), value, 0));
    return run.Run(values);
  } catch (const jinja::TemplateError& error) {
    Fail(ErrorKind::kBadFile, "{}: chat template, line {}: {}", name_, error.line(), OneLine(error.what()));
  } catch (const jinja::TemplateRefusal& refusal) {
    Fail(ErrorKind::kUnsupported, "{}: the chat template refuses this conversation: {}", name_,
         OneLine(refusal.what()));
  } catch (const jinja::TemplateUnsupported& reason) {
    Fail(ErrorKind::kUnsupported, "{}: the chat template cannot be used here: {}", name_, OneLine(reason.what()));
  }
}

}  // namespace assay
