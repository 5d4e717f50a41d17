#include "base/error.h"

namespace assay {

int ExitCode(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kUsage:
      return 2;
    case ErrorKind::kBadFile:
    case ErrorKind::kUnsupported:
      return 3;
    case ErrorKind::kInvalid:
      return 4;
    case ErrorKind::kIo:
    case ErrorKind::kInternal:
      return 1;
  }
  return 1;
}

}  // namespace assay
