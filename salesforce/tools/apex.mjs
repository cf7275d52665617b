// Reads Apex as Salesforce would: node apex.mjs FILE… answers {"FILE": {"errors": ["LINE:COLUMN …"], "calls": N}} as JSON.
// calls: how many methods are called, so that whoever asks can see that something was read.
// Packages are those of the working directory.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.cwd()}/`);
const {
  ApexErrorListener,
  ApexParserBaseListener,
  ApexParserFactory,
  ApexParseTreeWalker,
} = require("@apexdevtools/apex-parser");

class Errors extends ApexErrorListener {
  found = [];
  apexSyntaxError(line, column, message) {
    this.found.push(`${line}:${column} ${message}`);
  }
}

class Calls extends ApexParserBaseListener {
  count = 0;
  enterDotMethodCall() {
    this.count += 1;
  }
}

const answer = {};
for (const file of process.argv.slice(2)) {
  const errors = new Errors();
  const { parser } = ApexParserFactory.createLexerAndParser(readFileSync(file, "utf8"), errors);
  const calls = new Calls();
  ApexParseTreeWalker.DEFAULT.walk(calls, parser.compilationUnit());
  answer[file] = { errors: errors.found, calls: calls.count };
}
console.log(JSON.stringify(answer));
