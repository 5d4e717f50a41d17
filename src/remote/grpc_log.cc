#include "remote/grpc_log.h"

#include <grpc/support/log.h>
#include <spdlog/spdlog.h>

namespace assay {

void QuietGrpcLog() {
  gpr_set_log_function([](gpr_log_func_args* args) { spdlog::debug("gRPC: {}", args->message); });
}

}  // namespace assay
