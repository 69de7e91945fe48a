import collections
import json
import sys

words = open(sys.argv[1]).read().split()
json.dump(collections.Counter(words), sys.stdout)
