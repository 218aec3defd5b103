// The header that the library of this name has in its top folder.
#pragma once
