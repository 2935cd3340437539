// The server of the benchmark of ports: / is little, /big is 256 MiB.
const block = Buffer.alloc(1 << 20, 'x');
require('http').createServer((req, res) => {
	if (req.url !== '/big') return res.end('ok');
	let n = 256;
	const more = () => { while (n > 0) { n--; if (!res.write(block)) return res.once('drain', more); } res.end(); };
	more();
}).listen(3000, '0.0.0.0');
