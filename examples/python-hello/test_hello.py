import platform
import unittest

from hello import greeting


class GreetingTest(unittest.TestCase):
    def test_names_language_version_and_host(self):
        self.assertEqual(
            greeting("somewhere"),
            f"Hello from Python ({platform.python_version()}): running on somewhere",
        )


if __name__ == "__main__":
    unittest.main()
