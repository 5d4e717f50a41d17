#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>

#include <memory>
#include <string>
#include <utility>

#include "base/one_line.h"

namespace assay {

namespace {

// What is logged holds names of files and what files say of themselves.
class OneLineSink : public spdlog::sinks::stderr_color_sink_mt {
 public:
  void log(const spdlog::details::log_msg& message) override {
    const std::string line = OneLine({message.payload.data(), message.payload.size()});
    spdlog::details::log_msg shown = message;
    shown.payload = line;
    spdlog::sinks::stderr_color_sink_mt::log(shown);
  }
};

}  // namespace

void InitLog(bool verbose) {
  auto logger = std::make_shared<spdlog::logger>("assay", std::make_shared<OneLineSink>());
  logger->set_pattern("%^%l%$: %v");
  logger->set_level(verbose ? spdlog::level::debug : spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace assay
