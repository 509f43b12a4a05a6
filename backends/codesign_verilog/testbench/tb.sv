// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Self-checking testbench of a chip: writes its registers, starts it, counts cycles, compares what crosses its ports.
//
// chip_pkg gives the chip's port widths, testbench_pkg the memory's size and speed. Files: memory.bin, the
// off-chip memory beat by beat, each its most significant byte first; host.hex, the register writes before the start,
// an address and a datum a line, 32 bits each; port_N.bin, what must cross port N of the chip's units, as
// port_monitor says.
//
// Plusargs: +stall_seed=N (N > 0) makes every handshake of the memory port wait at random; +max_cycles=N;
// +waves=FILE writes a trace.
//
// Prints "codesign.NAME NUMBER" lines, the last of them codesign.end: each token with the cycle that gave it, cycles,
// the chip's counters by their register, writes and mismatches of each port. Cycles run from the clock edge that
// samples start to the edge that samples done.

module tb;

  localparam int Channels = chip_pkg::Channels;
  localparam int DataBits = chip_pkg::PortBytes * 8;

  int max_cycles;
  int stall_seed;

  logic clk;
  logic rst_n;

  initial clk = 1'b0;
  always #1 clk = ~clk;

  int          cycles;
  logic        start;  // in cycle 0
  logic        host_write;
  logic [15:0] host_address;
  logic [31:0] host_data;
  logic [31:0] host_answer;
  logic        done;
  logic        token_valid;
  logic [31:0] token;

  logic [Channels-1:0]                              arvalid;
  logic [Channels-1:0]                              arready;
  logic [Channels*chip_pkg::ChannelAddressBits-1:0] araddr;
  logic [Channels*8-1:0]                            arlen;
  logic [Channels*3-1:0]                            arsize;
  logic [Channels*2-1:0]                            arburst;
  logic [Channels-1:0]                              rvalid;
  logic [Channels-1:0]                              rready;
  logic [DataBits-1:0]                              rdata;
  logic [Channels-1:0]                              rlast;
  logic [Channels*2-1:0]                            rresp;
  logic [Channels-1:0]                              awvalid;
  logic [Channels-1:0]                              awready;
  logic [Channels*chip_pkg::ChannelAddressBits-1:0] awaddr;
  logic [Channels*8-1:0]                            awlen;
  logic [Channels*3-1:0]                            awsize;
  logic [Channels*2-1:0]                            awburst;
  logic [Channels-1:0]                              wvalid;
  logic [Channels-1:0]                              wready;
  logic [DataBits-1:0]                              wdata;
  logic [DataBits/8-1:0]                            wstrb;
  logic [Channels-1:0]                              wlast;
  logic [Channels-1:0]                              bvalid;
  logic [Channels-1:0]                              bready;
  logic [Channels*2-1:0]                            bresp;

  chip u_chip (
    .clk_i         (clk),
    .rst_ni        (rst_n),
    .host_write_i  (host_write),
    .host_address_i(host_address),
    .host_data_i   (host_data),
    .host_data_o   (host_answer),
    .done_o        (done),
    .token_valid_o (token_valid),
    .token_o       (token),
    .axi_arvalid_o (arvalid),
    .axi_arready_i (arready),
    .axi_araddr_o  (araddr),
    .axi_arlen_o   (arlen),
    .axi_arsize_o  (arsize),
    .axi_arburst_o (arburst),
    .axi_rvalid_i  (rvalid),
    .axi_rready_o  (rready),
    .axi_rdata_i   (rdata),
    .axi_rlast_i   (rlast),
    .axi_rresp_i   (rresp),
    .axi_awvalid_o (awvalid),
    .axi_awready_i (awready),
    .axi_awaddr_o  (awaddr),
    .axi_awlen_o   (awlen),
    .axi_awsize_o  (awsize),
    .axi_awburst_o (awburst),
    .axi_wvalid_o  (wvalid),
    .axi_wready_i  (wready),
    .axi_wdata_o   (wdata),
    .axi_wstrb_o   (wstrb),
    .axi_wlast_o   (wlast),
    .axi_bvalid_i  (bvalid),
    .axi_bready_o  (bready),
    .axi_bresp_i   (bresp)
  );

  memory_model #(
    .Beats      (testbench_pkg::MemoryBeats),
    .PortBytes  (chip_pkg::PortBytes),
    .Channels   (Channels),
    .AddressBits(chip_pkg::ChannelAddressBits)
  ) u_memory (
    .clk_i             (clk),
    .rst_ni            (rst_n),
    .start_i           (start),
    .latency_i         (testbench_pkg::Latency),
    .rate_i            (testbench_pkg::Rate),
    .refresh_interval_i(testbench_pkg::RefreshInterval),
    .refresh_cycles_i  (testbench_pkg::RefreshCycles),
    .stall_seed_i      (stall_seed),
    .axi_arvalid_i     (arvalid),
    .axi_arready_o     (arready),
    .axi_araddr_i      (araddr),
    .axi_arlen_i       (arlen),
    .axi_arsize_i      (arsize),
    .axi_arburst_i     (arburst),
    .axi_rvalid_o      (rvalid),
    .axi_rready_i      (rready),
    .axi_rdata_o       (rdata),
    .axi_rlast_o       (rlast),
    .axi_rresp_o       (rresp),
    .axi_awvalid_i     (awvalid),
    .axi_awready_o     (awready),
    .axi_awaddr_i      (awaddr),
    .axi_awlen_i       (awlen),
    .axi_awsize_i      (awsize),
    .axi_awburst_i     (awburst),
    .axi_wvalid_i      (wvalid),
    .axi_wready_o      (wready),
    .axi_wdata_i       (wdata),
    .axi_wstrb_i       (wstrb),
    .axi_wlast_i       (wlast),
    .axi_bvalid_o      (bvalid),
    .axi_bready_i      (bready),
    .axi_bresp_o       (bresp)
  );

  monitors u_monitors (
    .clk_i(clk)
  );

  // The memories of the KV cache, kv lowest, then those of key and value scales, have two writers and two readers each:
  // the program lets one of them work at a time.
  logic [2:0] both_write;
  logic [2:0] both_read;

  assign both_write = u_chip.load_write[5:3] &
                      {u_chip.scale_select[2:1], u_chip.quantized_kv_write};
  assign both_read  = u_chip.store_read &
                      {u_chip.value_scales_word_read, u_chip.key_scale_read, u_chip.kv_read};

  always @(negedge clk) begin
    if (both_write != '0 || both_read != '0) begin
      $display("codesign.collision %0d", cycles);
      $finish;
    end
  end

  // A register write stands for one cycle. Inputs change on the falling edge, so that no simulator sees them move with
  // the clock.
  task automatic write_register(input logic [15:0] address, input logic [31:0] data);
    host_write   = 1'b1;
    host_address = address;
    host_data    = data;
    @(negedge clk);
    host_write = 1'b0;
  endtask

  int          file;
  int          read;
  logic [15:0] address;
  logic [31:0] data;

  task automatic load_memory;
    file = $fopen("memory.bin", "rb");
    read = $fread(u_memory.beats, file);
    if (read == 0 || read % chip_pkg::PortBytes != 0) begin
      $display("codesign.error memory.bin holds %0d bytes, which are no beats", read);
    end
    $fclose(file);
  endtask

  task automatic write_registers;
    file = $fopen("host.hex", "r");
    read = 0;
    while ($fscanf(file, "%h %h\n", address, data) == 2) begin
      write_register(address, data);
      read = read + 1;
    end
    if (read == 0) $display("codesign.error host.hex holds no register writes");
    $fclose(file);
  endtask

  // Registers of the host port.
  localparam logic [15:0] Control  = 16'h00;
  localparam logic [15:0] Status   = 16'h04;
  localparam logic [15:0] Counters = 16'h20;

  task automatic show_counters;
    for (int i = 0; i < 2 * chip_pkg::Queues; i++) begin
      host_address = Counters + 16'(4 * i);
      @(negedge clk);
      $display("codesign.counter %0d %0d", host_address, host_answer);
    end
    host_address = Status;
    @(negedge clk);
    if (host_answer[1]) $display("codesign.error the memory answered with an error");
  endtask

  string waves;

  initial begin
    if (!$value$plusargs("max_cycles=%d", max_cycles)) max_cycles = testbench_pkg::MaxCycles;
    if (!$value$plusargs("stall_seed=%d", stall_seed)) stall_seed = 0;
    if ($value$plusargs("waves=%s", waves)) begin
      $dumpfile(waves);
      $dumpvars(0, tb);
    end
    load_memory();

    rst_n        = 1'b1;
    host_write   = 1'b0;
    host_address = '0;
    host_data    = '0;
    @(negedge clk);
    rst_n = 1'b0;
    @(negedge clk);
    rst_n = 1'b1;
    write_registers();
    u_monitors.open();
    start = 1'b1;
    write_register(Control, 32'd1);
    start  = 1'b0;
    cycles = 1;
    while (!done && cycles < max_cycles) begin
      if (token_valid) $display("codesign.token %0d %0d", token, cycles);
      @(negedge clk);
      cycles = cycles + 1;
    end
    if (!done) begin
      $display("codesign.timeout %0d", max_cycles);
    end else begin
      u_monitors.close();
      show_counters();
      $display("codesign.cycles %0d", cycles);
      $display("codesign.end");
    end
    $finish;
  end

endmodule
