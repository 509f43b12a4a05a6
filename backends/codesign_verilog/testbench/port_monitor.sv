// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Compares every write that crosses a unit's port with a file of expected ones: address and data, in order.
//
// The file holds a record a write: the address in 32 bits, then the data, most significant byte first. A write beyond
// the file's end, and a record that no write came for, are mismatches. The first one is printed.

module port_monitor #(
  parameter int AddressBits = 8,
  parameter int DataBits    = 32,
  parameter int Number      = 0    // of the port, as the report names it
) (
  input logic                   clk_i,
  input logic                   write_i,
  input logic [AddressBits-1:0] address_i,
  input logic [DataBits-1:0]    data_i
);

  localparam int RecordBits = 32 + DataBits;

  int                    file;
  int                    writes;
  int                    mismatches;
  logic [RecordBits-1:0] got;

  assign got = {32'(address_i), data_i};

  initial begin
    writes     = 0;
    mismatches = 0;
  end

  task automatic open(string name);
    file = $fopen(name, "rb");
    if (file == 0) $display("codesign.error cannot open %s", name);
  endtask

  task automatic compare;
    logic [RecordBits-1:0] expected;
    if ($fread(expected, file) != RecordBits / 8) expected = 'x;
    if (got !== expected) begin
      if (mismatches == 0) begin
        $display("codesign.first_mismatch port %0d write %0d cycle %0d got %h expected %h", Number,
                 writes, tb.cycles, got, expected);
      end
      mismatches <= mismatches + 1;
    end
    writes <= writes + 1;
  endtask

  // After the last cycle: whatever is left in the file was expected and did not come.
  task automatic close;
    logic [RecordBits-1:0] expected;
    int                    missing;
    missing = ($fread(expected, file) != 0) ? 1 : 0;
    if (missing != 0) begin
      $display("codesign.missing port %0d write %0d expected %h", Number, writes, expected);
    end
    $fclose(file);
    $display("codesign.port %0d %0d %0d", Number, writes, mismatches + missing);
  endtask

  always_ff @(posedge clk_i) begin
    if (write_i) begin
      compare();
    end
  end

endmodule
