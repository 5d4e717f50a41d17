#pragma once

#include <gtest/gtest.h>

#include "base/error.h"

namespace assay {

// The message and kind of the Error that `action` throws; fails the test when it throws none.
template <typename Action>
Error ErrorOf(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error was thrown";
  return {ErrorKind::kInternal, ""};
}

}  // namespace assay
