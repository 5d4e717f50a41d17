#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>

#include "model/model_spec.h"
#include "study/speculation_lab.h"

namespace assay {

// --draft grpc://HOST:PORT: drafts from a draft server.

struct RemoteDraftOptions {
  std::string token_file, ca_file;
  bool no_ahead = false;
};

// --draft-token-file, --draft-ca, --no-draft-ahead. `options` must live as long as the app.
void AddRemoteDraftOptions(CLI::App& app, RemoteDraftOptions& options);

inline bool IsRemoteDraft(std::string_view draft) {
  return draft.starts_with("grpc://") || draft.starts_with("grpcs://");
}

// The token that draft servers and their clients share: the first line of the file that `option` names. Throws kUsage
// with the advice when it has none.
std::string ReadDraftToken(std::string_view option, const std::string& path, std::string_view advice);

// Connects to that server for texts of `target`, which must outlive the factory. The factory throws as
// MakeRemoteDrafter() does.
DrafterFactory RemoteDraft(const std::string& url, const RemoteDraftOptions& options, const Model& target);

}  // namespace assay
