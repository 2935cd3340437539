'use strict';

const assert = require('node:assert');
const test = require('node:test');

const { greeting } = require('./hello.js');

test('the greeting names the language, its version and the host', () => {
  assert.strictEqual(
    greeting('somewhere'),
    `Hello from Node.js (${process.version}): running on somewhere`,
  );
});
