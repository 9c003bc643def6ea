// An executor in Node, written from the text of the Builder Kit alone.
// The first part of the path says how it behaves; GET /seen lists what it got.
const http = require('http');
const crypto = require('crypto');

let hmacKey = process.argv[2];
const seen = [];
const sign = (text) => crypto.createHmac('sha256', hmacKey).update(text).digest('hex');

function trigger(mode, request) {
  const { requestID, params } = request;
  if (mode === 'skip') {
    return { skip: true, requestID, task: null, signature: sign(`${requestID}:0x`) };
  }
  const metadata = params.subscription.metadata;
  // Signed by a wallet beforehand; Node's own library has no Keccak.
  const executorSignature = metadata.executorSignature || '0x' + '11'.repeat(65);
  return {
    skip: false,
    requestID,
    task: {
      subaccount: params.subAccountAddress,
      executor: params.executorAddress,
      executorSignature,
      executable: {
        callType: 0,
        to: metadata.target,
        value: metadata.value || '0',
        data: metadata.data || '0xd0e30db0', // deposit()
      },
    },
    signature: mode === 'forged' ? sign('other') : sign(`${requestID}:${executorSignature}`),
  };
}

const server = http.createServer((request, response) => {
  const answer = (status, value) => {
    response.writeHead(status, { 'Content-Type': 'application/json' });
    response.end(value === undefined ? '' : JSON.stringify(value));
  };
  let body = '';
  request.on('data', (part) => { body += part; });
  request.on('end', () => {
    const [, mode, ...rest] = request.url.split('/');
    if (request.url === '/seen') return answer(200, seen);
    if (mode === 'key') { hmacKey = rest[0]; return answer(200); }
    const payload = JSON.parse(body);
    seen.push({ path: request.url, body, headers: request.headers });
    if (mode === 'careless') {
      const value = trigger(seen.length % 2 ? 'skip' : 'task', payload);
      return answer(200, value);
    }
    if (payload.signature !== sign(payload.requestID)) return answer(401, { error: 'signature' });
    if (rest.join('/') === 'kernel/trigger') return answer(200, trigger(mode, payload));
    if (mode === 'deaf') return answer(404);
    if (mode === 'broken') return answer(500);
    return answer(200, { log: { seen: seen.length, successful: payload.successful } });
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
