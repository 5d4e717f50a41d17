#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace assay {

// Columns that a terminal uses for UTF-8 text: wide characters count two, combining marks none.
size_t DisplayWidth(std::string_view text);

// The text, or its beginning and "..." when it is wider than `width` columns.
std::string Abbreviate(std::string_view text, size_t width);

// An aligned table of text, as terminals and logs show it.
class TextTable {
 public:
  struct Column {
    std::string title;
    bool right = false;  // numbers
  };

  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void AddRow(std::vector<std::string> cells);  // one for each column
  // With a line of titles; each line is indented by two spaces and ends in a newline.
  std::string ToString() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace assay
