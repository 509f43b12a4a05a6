// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Self-checking testbench of a chip: loads microcode and memory, starts, counts cycles, compares every value.
//
// chip_pkg gives the chip's port widths, testbench_pkg the images' sizes and the memory's speed. Files, hexadecimal:
// memory.hex, one beat a line; microcode.hex, one instruction a line; regions.hex, two 32-bit numbers a line, the
// first word and the number of words of a region to compare (words are 32 bits, word 0 is the lowest of beat 0);
// expected.hex, the words of all regions one after the other, one a line.
//
// Plusargs, each standing in for a constant of testbench_pkg: +memory_beats= +microcode_words= +region_count=
// +latency= +bytes_per_cycle= +max_cycles=; +stall_seed=N (N > 0) makes every handshake of the memory port wait at
// random; +waves=FILE writes a trace.
//
// Prints "codesign.NAME NUMBER" lines, the last of them codesign.end. Cycles run from the clock edge that samples start
// to the edge that samples done.

module tb;

  localparam int PortBits     = chip_pkg::PortBytes * 8;
  localparam int WordsPerBeat = chip_pkg::PortBytes / 4;

  int memory_beats;
  int microcode_words;
  int region_count;
  int latency;
  int bytes_per_cycle;
  int max_cycles;
  int stall_seed;

  logic clk;
  logic rst_n;

  initial clk = 1'b0;
  always #1 clk = ~clk;

  logic                                      start;
  logic                                      done;
  logic                                      microcode_write;
  logic [chip_pkg::MicrocodeAddressBits-1:0] microcode_address;
  logic [chip_pkg::InstructionBits-1:0]      microcode_data;
  logic                                      request_valid;
  logic                                      request_ready;
  logic [chip_pkg::MemoryAddressBits-1:0]    request_address;
  logic [chip_pkg::BeatsBits-1:0]            request_beats;
  logic                                      request_write;
  logic                                      read_valid;
  logic                                      read_ready;
  logic [PortBits-1:0]                       read_data;
  logic                                      write_valid;
  logic                                      write_ready;
  logic [PortBits-1:0]                       write_data;

  chip u_chip (
    .clk_i                   (clk),
    .rst_ni                  (rst_n),
    .start_i                 (start),
    .done_o                  (done),
    .microcode_write_i       (microcode_write),
    .microcode_address_i     (microcode_address),
    .microcode_data_i        (microcode_data),
    .memory_request_valid_o  (request_valid),
    .memory_request_ready_i  (request_ready),
    .memory_request_address_o(request_address),
    .memory_request_beats_o  (request_beats),
    .memory_request_write_o  (request_write),
    .memory_read_valid_i     (read_valid),
    .memory_read_ready_o     (read_ready),
    .memory_read_data_i      (read_data),
    .memory_write_valid_o    (write_valid),
    .memory_write_ready_i    (write_ready),
    .memory_write_data_o     (write_data)
  );

  memory_model #(
    .Beats      (testbench_pkg::MemoryBeats),
    .PortBytes  (chip_pkg::PortBytes),
    .AddressBits(chip_pkg::MemoryAddressBits),
    .BeatsBits  (chip_pkg::BeatsBits)
  ) u_memory (
    .clk_i            (clk),
    .rst_ni           (rst_n),
    .latency_i        (latency),
    .bytes_per_cycle_i(bytes_per_cycle),
    .stall_seed_i     (stall_seed),
    .request_valid_i  (request_valid),
    .request_ready_o  (request_ready),
    .request_address_i(request_address),
    .request_beats_i  (request_beats),
    .request_write_i  (request_write),
    .read_valid_o     (read_valid),
    .read_ready_i     (read_ready),
    .read_data_o      (read_data),
    .write_valid_i    (write_valid),
    .write_ready_o    (write_ready),
    .write_data_i     (write_data)
  );

  logic [chip_pkg::InstructionBits-1:0] microcode [testbench_pkg::MicrocodeWords];
  logic [31:0]                          regions [2*testbench_pkg::RegionCount];
  logic [31:0]                          expected [testbench_pkg::ExpectedWords];
  int                                   expected_words;
  int                                   cycles;
  int                                   compared;
  int                                   mismatches;

  task automatic load_images;
    $readmemh("memory.hex", u_memory.beats, 0, memory_beats - 1);
    $readmemh("microcode.hex", microcode, 0, microcode_words - 1);
    $readmemh("regions.hex", regions, 0, 2 * region_count - 1);
    expected_words = 0;
    for (int region = 0; region < region_count; region++) begin
      expected_words = expected_words + int'(regions[2*region+1]);
    end
    if (expected_words > 0) $readmemh("expected.hex", expected, 0, expected_words - 1);
  endtask

  task automatic compare_word(int word);
    logic [PortBits-1:0] beat;
    logic [31:0]         got;
    beat = u_memory.beats[word / WordsPerBeat];
    got  = beat[(word % WordsPerBeat) * 32 +: 32];
    if (got !== expected[compared]) begin
      if (mismatches == 0) begin
        $display("codesign.first_mismatch %0d got %h expected %h", compared, got, expected[compared]);
      end
      mismatches = mismatches + 1;
    end
    compared = compared + 1;
  endtask

  task automatic compare_regions;
    compared   = 0;
    mismatches = 0;
    for (int region = 0; region < region_count; region++) begin
      for (int word = 0; word < int'(regions[2*region+1]); word++) begin
        compare_word(int'(regions[2*region]) + word);
      end
    end
  endtask

  task automatic report;
    if (compared == 0) begin
      $display("codesign.error there is nothing to compare");
    end else begin
      $display("codesign.cycles %0d", cycles);
      $display("codesign.compared %0d", compared);
      $display("codesign.mismatches %0d", mismatches);
      $display("codesign.end");
    end
  endtask

  string waves;

  // Inputs change on the falling edge, so that no simulator sees them move with the clock.
  initial begin
    if (!$value$plusargs("memory_beats=%d", memory_beats)) memory_beats = testbench_pkg::MemoryBeats;
    if (!$value$plusargs("microcode_words=%d", microcode_words)) microcode_words = testbench_pkg::MicrocodeWords;
    if (!$value$plusargs("region_count=%d", region_count)) region_count = testbench_pkg::RegionCount;
    if (!$value$plusargs("latency=%d", latency)) latency = testbench_pkg::Latency;
    if (!$value$plusargs("bytes_per_cycle=%d", bytes_per_cycle)) bytes_per_cycle = testbench_pkg::BytesPerCycle;
    if (!$value$plusargs("max_cycles=%d", max_cycles)) max_cycles = testbench_pkg::MaxCycles;
    if (!$value$plusargs("stall_seed=%d", stall_seed)) stall_seed = 0;
    if ($value$plusargs("waves=%s", waves)) begin
      $dumpfile(waves);
      $dumpvars(0, tb);
    end
    load_images();

    rst_n             = 1'b1;
    start             = 1'b0;
    microcode_write   = 1'b0;
    microcode_address = '0;
    microcode_data    = '0;
    @(negedge clk);
    rst_n = 1'b0;
    @(negedge clk);
    rst_n = 1'b1;
    for (int word = 0; word < microcode_words; word++) begin
      microcode_write   = 1'b1;
      microcode_address = chip_pkg::MicrocodeAddressBits'(word);
      microcode_data    = microcode[word];
      @(negedge clk);
    end
    microcode_write = 1'b0;
    start           = 1'b1;
    @(negedge clk);
    start  = 1'b0;
    cycles = 1;
    while (!done && cycles < max_cycles) begin
      @(negedge clk);
      cycles = cycles + 1;
    end
    if (!done) begin
      $display("codesign.timeout %0d", max_cycles);
    end else begin
      compare_regions();
      report();
    end
    $finish;
  end

endmodule
