#pragma once

#include <string>
#include <string_view>

namespace assay {

// Where a draft server is or listens.
struct DraftAddress {
  std::string host;  // an IPv6 address without brackets
  int port = 0;
  bool tls = false;

  std::string HostPort() const;  // as gRPC takes it
  bool IsLoopback() const;       // 127.0.0.0/8, ::1, localhost
};

// "grpc://HOST:PORT", or "grpcs://..." with TLS. Throws kUsage.
DraftAddress ParseDraftUrl(std::string_view url);
// "HOST:PORT"; port 0 is any. Throws kUsage naming the option.
DraftAddress ParseListenAddress(std::string_view address);

}  // namespace assay
