// The kernel table of an instruction set; included last.

namespace assay::cpu::ASSAY_ISA {

inline KernelTable MakeTable() {
  KernelTable table = {};
  table.name = kIsaName;
  table.int8_loop = &Int8Loop;
  table.fma_loop = &FmaLoop;
  table.read_all = &ReadAll;
  return table;
}

}  // namespace assay::cpu::ASSAY_ISA
