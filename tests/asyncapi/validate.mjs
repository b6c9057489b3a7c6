// Prints what the parser complains of in the document named on the command line, a line each.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
for (const { severity, message, path } of diagnostics) {
  if (severity < 2) console.log(`${path.join(".")}: ${message}`); // Errors and warnings.
}
