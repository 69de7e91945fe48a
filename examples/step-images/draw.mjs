import { readFileSync } from "node:fs";

const counts = JSON.parse(readFileSync(process.argv[2], "utf8"));
for (const [word, count] of Object.entries(counts)) {
  console.log(word.padEnd(8) + "#".repeat(count));
}
