#include "remote/address.h"

#include <fmt/format.h>

#include <charconv>

#include "base/error.h"

namespace assay {
namespace {

// Whether it is "host:port", taken apart.
bool Split(std::string_view text, DraftAddress& address) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return false;
  }
  const std::string_view port = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (error != std::errc() || end != port.data() + port.size() || address.port < 0 || address.port > 65535)
    return false;
  address.host = host;
  return !host.empty() && host.find_first_of("/@ %,") == std::string_view::npos;
}

}  // namespace

std::string DraftAddress::HostPort() const {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

bool DraftAddress::IsLoopback() const {
  if (host == "localhost" || host == "::1") return true;
  // A name may begin like a number: only digits and dots are an address.
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos;
}

DraftAddress ParseDraftUrl(std::string_view url) {
  DraftAddress address;
  address.tls = url.starts_with("grpcs://");
  const std::string_view scheme = address.tls ? "grpcs://" : "grpc://";
  if (!url.starts_with(scheme) || !Split(url.substr(scheme.size()), address) || address.port == 0) {
    Fail(ErrorKind::kUsage, "'{}' is not the address of a draft server; write grpc://HOST:PORT, or grpcs:// with TLS",
         url);
  }
  return address;
}

DraftAddress ParseListenAddress(std::string_view address) {
  DraftAddress parsed;
  if (!Split(address, parsed)) {
    Fail(ErrorKind::kUsage, "--listen {}: it is no HOST:PORT; write 127.0.0.1:50061 or [::1]:50061", address);
  }
  return parsed;
}

}  // namespace assay
