// Starts the emulator with the seed that is given, tells where it is and the app's key in both forms, and ends with standard input.
import { createPrivateKey } from "node:crypto";
import { createEmulator } from "emulate";

const seed = JSON.parse(process.argv[1]);
const emulator = await createEmulator({ service: "github", port: 0, seed });
const key = emulator.generatedSecrets.find((secret) => secret.kind === "github.app_private_key").value;
const pkcs8 = createPrivateKey(key).export({ type: "pkcs8", format: "pem" });
console.log(JSON.stringify({ url: emulator.url, pkcs1: key, pkcs8 }));
process.stdin.on("end", () => process.exit(0)).resume();
