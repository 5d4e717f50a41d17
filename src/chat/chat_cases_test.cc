// Templates with the answers that transformers gives (tools/make_chat_cases.py).

#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "chat/template.h"

namespace assay {
namespace {

using Json = nlohmann::ordered_json;

RenderOptions AtTheTimeOfTheAnswers() {
  std::tm now{};
  now.tm_year = 2026 - 1900;
  now.tm_mon = 10;
  now.tm_mday = 28;
  now.tm_hour = 1;
  now.tm_min = 2;
  now.tm_sec = 3;
  now.tm_wday = 6;
  now.tm_yday = 331;
  return {.limits = {}, .now = now};
}

// Without line ends and runs of spaces, which messages of one line cannot have.
std::string Words(const std::string& text) {
  std::istringstream in(text);
  std::string out;
  for (std::string word; in >> word;) out += word + " ";
  return out;
}

void Check(const Json& test, const Json& variables) {
  SCOPED_TRACE(test["name"].get<std::string>());
  std::string text;
  try {
    text = ChatTemplate(test["template"].get<std::string>(), "t").Render(variables, AtTheTimeOfTheAnswers());
  } catch (const Error& error) {
    EXPECT_FALSE(test.contains("text")) << error.what();
    EXPECT_EQ(ExitCode(error.kind()), 3);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    if (test.contains("refusal")) {
      EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
      EXPECT_NE(Words(error.what()).find(Words(test["refusal"])), std::string::npos) << error.what();
    } else {
      EXPECT_EQ(error.kind(), ErrorKind::kBadFile) << error.what();
    }
    return;
  }
  EXPECT_TRUE(test.contains("text")) << "should fail: " << test.dump() << "\nbut gives " << text;
  EXPECT_EQ(text, test.value("text", text));
}

int CheckFile(const std::string& path) {
  std::istringstream lines(ReadFile(path));
  Json variables;
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const Json test = Json::parse(line);
    if (test.contains("variables")) variables = test["variables"];
    Check(test, variables);
  }
  return count;
}

TEST(ChatCases, AnswersAreThoseOfTransformers) {
  EXPECT_GT(CheckFile(ASSAY_SOURCE_DIR "/tests/data/chat_cases.jsonl"), 200);
}

// Of published templates, which are not part of the repository.
TEST(ChatCases, AnswersOfAFileOfCases) {
  const char* path = std::getenv("ASSAY_CHAT_CASES");
  if (path == nullptr) GTEST_SKIP() << "ASSAY_CHAT_CASES names no file of tools/make_chat_cases.py";
  EXPECT_GT(CheckFile(path), 0);
}

}  // namespace
}  // namespace assay
