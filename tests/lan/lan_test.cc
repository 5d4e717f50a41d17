// The LAN in a box, where this machine allows network namespaces. Times are held to what they may not be less than: a
// busy machine makes them longer.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace assay {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr int kSkipped = 77;

struct Output {
  int exit_code = -1;
  std::string text;  // stdout and stderr
};

Output Lan(const std::string& arguments) {
  const std::string command =
      fmt::format("'{}/tools/lan.sh' {} --build '{}' 2>&1", ASSAY_SOURCE_DIR, arguments, ASSAY_BUILD_DIR);
  Output output;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return output;
  std::array<char, 4096> buffer;
  while (const size_t count = fread(buffer.data(), 1, buffer.size(), pipe)) output.text.append(buffer.data(), count);
  const int status = pclose(pipe);
  output.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return output;
}

TEST(LanTest, ALinkIsNoFasterThanItIsToldToBe) {
  const Output output = Lan("links --json");
  if (output.exit_code == kSkipped) GTEST_SKIP() << output.text;
  ASSERT_EQ(output.exit_code, 0) << output.text;
  const json rows = json::parse(output.text, nullptr, false)["rows"];
  ASSERT_EQ(rows.size(), 3U) << output.text;
  for (const json& row : rows) {
    const double added = 2.0 * row["added_one_way_ms"].get<double>();
    const double missing = row["round_trip_ms"].get<double>() - row["path_ms"].get<double>();
    EXPECT_NEAR(added, std::max(missing, 0.0), 0.002) << row;
    EXPECT_GE(row["measured_ms"]["median_ms"], added) << row;
    // A bucket of 64 KiB passes at once, of 50 ms of stream at 100 Mbit/s 10%; and what is counted is 4% less than what
    // passes.
    EXPECT_LE(row["measured_mbit"], 1.1 * row["mbit"].get<double>()) << row;
    EXPECT_THAT(row["rate_by"], testing::AnyOf("tc tbf", "relay"));
    EXPECT_THAT(row["delay_by"], testing::AnyOf("tc netem", "relay"));
  }
}

// Whatever the links do, the text is the target's own. A burst that is late on a busy machine is a burst that failed.
TEST(LanTest, DraftsFromTheOtherMachineLeaveTheTextAsItIs) {
  const std::string prompts = testing::TempDir() + fmt::format("lan-{}.jsonl", getpid());
  std::ofstream(prompts) << "{\"prompt\": \"It is a truth universally acknowledged\"}\n";
  const std::string models = ASSAY_SOURCE_DIR "/models/";
  const Output output =
      Lan(fmt::format("table --json -m '{0}tiny-qwen35.gguf' -d '{0}tiny-qwen35-draft.gguf' -n 16 -r 1 "
                      "--prompts '{1}'",
                      models, prompts));
  std::filesystem::remove(prompts);
  if (output.exit_code == kSkipped) GTEST_SKIP() << output.text;
  ASSERT_EQ(output.exit_code, 0) << output.text;
  const json rows = json::parse(output.text.substr(output.text.find("{\"schema\"")), nullptr, false)["rows"];
  ASSERT_EQ(rows.size(), 3U) << output.text;
  for (const json& row : rows) {
    ASSERT_EQ(row["runs"].size(), 1U);
    ASSERT_EQ(row["local"].size(), 1U);
    const json& run = row["runs"][0];
    EXPECT_NE(run["identical"], false) << row;
    EXPECT_NE(row["local"][0]["identical"], false) << row;
    EXPECT_GT(run["burst"]["bursts"], 0) << row;
    EXPECT_GT(run["burst"]["received_bytes"], 0) << row;
  }
}

TEST(LanTest, WrongUsageIsSaidInOneBox) {
  const Output output = Lan("table");
  if (output.exit_code == kSkipped) GTEST_SKIP() << output.text;
  EXPECT_EQ(output.exit_code, 2);
  EXPECT_THAT(output.text, HasSubstr("name a target with -m"));
}

}  // namespace
}  // namespace assay
