'use strict';

const os = require('node:os');

function greeting(host) {
  return `Hello from Node.js (${process.version}): running on ${host}`;
}

module.exports = { greeting };

if (require.main === module) {
  console.log(greeting(os.hostname()));
}
