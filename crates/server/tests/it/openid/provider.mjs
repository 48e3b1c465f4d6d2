// A certified OpenID provider on a free port of this machine. Says on which it is, hears where browsers are sent back to, and says when it is ready.
// `node provider.mjs HOST ALGORITHM`
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { Provider } from "oidc-provider";

const [host, algorithm] = process.argv.slice(2);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const key = (kind, options, alg) => ({
  ...generateKeyPairSync(kind, options).privateKey.export({ format: "jwk" }),
  kid: alg,
  alg,
  use: "sig",
});
const keys = [
  key("rsa", { modulusLength: 2048 }, "RS256"),
  key("ec", { namedCurve: "P-256" }, "ES256"),
  key("ed25519", {}, "EdDSA"),
];

const server = createServer().listen(0, "127.0.0.1", async () => {
  const issuer = `http://${host}:${server.address().port}`;
  console.log(`issuer ${issuer}`);
  const { value: back } = await lines.next();
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: "cofferdam",
        client_secret: "a secret: %&+/",
        redirect_uris: [back],
        response_types: ["code"],
        grant_types: ["authorization_code"],
        id_token_signed_response_alg: algorithm,
      },
    ],
    jwks: { keys },
    cookies: { keys: ["only for tests"] },
    enabledJWA: { idTokenSigningAlgValues: ["RS256", "ES256", "EdDSA"] },
    pkce: { required: () => true },
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "groups"] },
    // Whoever says that they are somebody is.
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: true, name: `${id} of Example`, groups: ["team"] }),
    }),
  });
  server.on("request", provider.callback());
  console.log("ready");
  // Ends with the test.
  await lines.next();
  process.exit(0);
});
