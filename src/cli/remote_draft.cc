#include "cli/remote_draft.h"

#include "base/error.h"
#include "base/file.h"
#include "remote/remote_drafter.h"
#include "text/same_tokenizer.h"

namespace assay {

std::string ReadDraftToken(std::string_view option, const std::string& path, std::string_view advice) {
  std::string token = FirstLine(path).value_or("");
  if (token.empty()) {
    Fail(ErrorKind::kUsage, "{} {}: its first line is the token, and there is none; {}", option, path, advice);
  }
  return token;
}

void AddRemoteDraftOptions(CLI::App& app, RemoteDraftOptions& options) {
  app.add_option("--draft-token-file", options.token_file, "the draft server's token: the first line of this file")
      ->type_name("FILE");
  app.add_option("--draft-ca", options.ca_file,
                 "who signs the draft server's certificate (PEM); the system's authorities when not given")
      ->type_name("FILE");
  app.add_flag("--no-draft-ahead", options.no_ahead, "the draft server is not to draft before it is asked");
}

DrafterFactory RemoteDraft(const std::string& url, const RemoteDraftOptions& options, const Model& target) {
  RemoteDrafterOptions remote;
  remote.url = url;
  if (!options.token_file.empty()) {
    remote.token = ReadDraftToken("--draft-token-file", options.token_file, "name the server's");
  }
  if (!options.ca_file.empty()) remote.tls_ca = ReadFile(options.ca_file);
  remote.tokenizer_digest = DraftVocabularyDigest(*target.tokenizer);
  remote.vocab = target.spec.vocab;
  remote.ahead = !options.no_ahead;
  return [remote](const ModelDrafterOptions& drafter) mutable {
    remote.context = drafter.context;
    remote.max_draft = drafter.max_draft;
    remote.min_probability = drafter.min_probability;
    return MakeRemoteDrafter(remote);
  };
}

}  // namespace assay
