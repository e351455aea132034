// A certified OpenID Connect server (oidc-provider) with users, clients and keys for tests. Arguments: a JSON object.
// Beside the protocol it answers POST /test/rotate (a new signing key; the old one stays published unless ?drop).
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const options = JSON.parse(process.argv[2]);
const require = createRequire(options.modules + '/');
const load = async (name) => import(pathToFileURL(require.resolve(name)).href);
const { Provider, errors } = await load('oidc-provider');
const { generateKeyPair, exportJWK } = await load('jose');

const issuer = `http://127.0.0.1:${options.port}`;
const audience = 'urn:lakegate';
const users = {
  alice: { password: 'alice-password', groups: ['/coast', '/operators'] },
  bob: { password: 'bob-password', groups: ['ocean'] },
};
const resource = () => ({
  scope: 'openid groups lake-read lake-compute', audience, accessTokenFormat: 'jwt', accessTokenTTL: 300, jwt: { sign: { alg: 'RS256' } },
});

let count = 0;
async function newKey() {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  count += 1;
  return { ...(await exportJWK(privateKey)), kid: `key-${count}`, use: 'sig', alg: 'RS256' };
}

function claimsOf(token) {
  if (token.kind === 'ClientCredentials') return { groups: token.client.groups };
  return { groups: users[token.accountId]?.groups, realm_access: { roles: ['DPAD_Direct_Access'] } };
}

function started(keys) {
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: [
      { client_id: 'robot', client_secret: 'robot-secret', grant_types: ['client_credentials'], redirect_uris: [], response_types: [], groups: ['robots'] },
      { client_id: 'cli', token_endpoint_auth_method: 'none', application_type: 'native', redirect_uris: [], response_types: [],
        grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'password', 'urn:ietf:params:oauth:grant-type:token-exchange'] },
      { client_id: 'web', client_secret: 'web secret+/', grant_types: ['authorization_code'], response_types: ['code'],
        redirect_uris: options.redirects, post_logout_redirect_uris: options.farewells, application_type: 'native' },
    ],
    extraClientMetadata: { properties: ['groups'] },
    findAccount: (ctx, sub) => users[sub] && { accountId: sub, claims: () => ({ sub, groups: users[sub].groups }) },
    claims: { openid: ['sub'], groups: ['groups'] },
    conformIdTokenClaims: false,
    scopes: ['openid', 'groups'],
    pkce: { required: () => true },
    features: {
      devInteractions: { enabled: true },
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      resourceIndicators: {
        enabled: true, defaultResource: () => audience, useGrantedResource: () => true, getResourceServerInfo: resource,
      },
    },
    extraTokenClaims: (ctx, token) => claimsOf(token),
    cookies: { keys: ['for-tests'] },
    ttl: { AccessToken: 300, ClientCredentials: 300, IdToken: 300, Grant: 300, Session: 300, Interaction: 300, DeviceCode: 300 },
  });
  async function answerWithToken(ctx, accountId, name) {
    const scope = ctx.oidc.params.scope ?? 'openid groups';
    const grant = new provider.Grant({ clientId: ctx.oidc.client.clientId, accountId });
    grant.addOIDCScope('openid');
    grant.addResourceScope(audience, scope);
    const token = new provider.AccessToken({
      accountId, client: ctx.oidc.client, grantId: await grant.save(), gty: name, scope,
      resourceServer: new provider.ResourceServer(audience, resource()), expiresWithSession: false,
    });
    ctx.oidc.entity('AccessToken', token);
    ctx.body = { access_token: await token.save(), token_type: 'Bearer', expires_in: 300, scope };
  }
  provider.registerGrantType('password', async (ctx) => {
    const { username, password } = ctx.oidc.params;
    if (users[username]?.password !== password) throw new errors.InvalidGrant('wrong user name or password');
    await answerWithToken(ctx, username, 'password');
  }, ['username', 'password', 'scope'], []);
  const exchange = 'urn:ietf:params:oauth:grant-type:token-exchange';
  provider.registerGrantType(exchange, async (ctx) => {
    // the outer realm's token is trusted by its claims alone: what is tested is what comes out of the exchange
    const [, payload] = String(ctx.oidc.params.subject_token).split('.');
    const { sub } = JSON.parse(Buffer.from(payload, 'base64url').toString());
    if (!users[sub]) throw new errors.InvalidGrant('unknown subject');
    await answerWithToken(ctx, sub, exchange);
  }, ['subject_token', 'subject_token_type', 'subject_issuer', 'audience', 'scope'], ['audience']);
  return provider.callback();
}

const { createServer } = await import('node:http');
let keys = [await newKey()];
let handle = started(keys);
let fetches = 0;
createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, issuer);
  if (pathname === '/test/rotate') {
    const fresh = await newKey();
    keys = searchParams.has('drop') ? [fresh] : [fresh, ...keys];
    handle = started(keys);
    response.end('rotated');
  } else if (pathname === '/test/fetches') {
    response.end(String(fetches));
  } else {
    if (pathname === '/jwks') fetches += 1;
    handle(request, response);
  }
}).listen(options.port, '127.0.0.1', () => console.log('listening', issuer));
