#include "remote/grpc_setup.h"

#include <grpc/support/log.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <mutex>

namespace assay {

void SetUpGrpc() {
  static std::once_flag done;
  std::call_once(done, [] {
    setenv("GRPC_DNS_RESOLVER", "native", /*replace=*/0);
    gpr_set_log_function([](gpr_log_func_args* args) { spdlog::debug("gRPC: {}", args->message); });
  });
}

}  // namespace assay
